// A small line plot in SVG: time on the x axis, bit/s on the y axis.

const NAMESPACE = 'http://www.w3.org/2000/svg';
const SPANS_S = [30, 60, 120];
const MARGIN = { top: 8, right: 8, bottom: 20, left: 44 };

function make(name, attributes, text) {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Return a round number at or above `value`. */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((limit) => limit >= value);
}

/** Return `bps` as text: "34.3 kbit/s". */
export function formatRate(bps) {
  if (bps >= 1e6) return `${(bps / 1e6).toFixed(1)} Mbit/s`;
  if (bps >= 1e3) return `${(bps / 1e3).toFixed(1)} kbit/s`;
  return `${Math.round(bps)} bit/s`;
}

/** Mean of each point and its neighbours: buckets hold whole packets and jump. */
export function smooth(points, reach = 2) {
  return points.map(([time], index) => {
    const part = points.slice(Math.max(0, index - reach), index + reach + 1);
    return [time, part.reduce((sum, [, value]) => sum + value, 0) / part.length];
  });
}

/**
 * Draw a curve.
 * @param {SVGElement} svg
 * @param {[number, number][]} curve pairs of (seconds before now, bit/s), oldest first
 */
export function drawGoodput(svg, curve) {
  const { clientWidth: width, clientHeight: height } = svg;
  if (!width || !height) return;
  const points = smooth(curve);
  const span = SPANS_S.find((seconds) => -(points[0]?.[0] ?? 0) <= seconds) ?? SPANS_S.at(-1);
  const limit = roundUp(Math.max(1000, ...points.map(([, value]) => value)) * 1.02);
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const x = (time) => right + (time / span) * (right - MARGIN.left);
  const y = (value) => bottom - (value / limit) * (bottom - MARGIN.top);
  const nodes = [];
  for (const part of [0, 0.5, 1]) {
    const level = y(limit * part);
    nodes.push(make('line', { x1: MARGIN.left, x2: right, y1: level, y2: level }));
    const text = formatRate(limit * part).replace(/\.0 /, ' ').replace('bit/s', '');
    nodes.push(make('text', { x: MARGIN.left - 6, y: level + 4, 'text-anchor': 'end' }, part ? text.trim() : '0'));
  }
  for (const time of [-span, -span / 2, 0]) {
    const anchor = time === 0 ? 'end' : time === -span ? 'start' : 'middle';
    const label = time ? `${time} s` : 'now';
    nodes.push(make('text', { x: x(time), y: height - 4, 'text-anchor': anchor }, label));
  }
  nodes.push(make('text', { x: MARGIN.left + 4, y: MARGIN.top + 10 }, 'bit/s'));
  if (points.length > 1) {
    const line = points.map(([time, value]) => `${x(time).toFixed(1)},${y(value).toFixed(1)}`).join(' L');
    const first = x(points[0][0]).toFixed(1);
    const last = x(points.at(-1)[0]).toFixed(1);
    nodes.push(make('path', { class: 'area', d: `M${first},${bottom} L${line} L${last},${bottom} Z` }));
    nodes.push(make('path', { class: 'curve', d: `M${line}` }));
  }
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.replaceChildren(...nodes);
}
