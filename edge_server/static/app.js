// The live page: listens to /api/v1/events, asks /api/v1/results once, draws.

import { drawGoodput, formatRate } from './plot.js';

const NUM_RECENT = 24;
const $ = (id) => document.getElementById(id);

const state = {
  device: null,      // the device shown; the first that speaks, until the user chooses
  chosen: false,
  devices: new Set(),
  picture: null,     // {device, session_id, picture_id, deadline_s, num_packets, startedAt, ended}
  links: new Map(),
  curve: [],
  live: false,
  storeError: null,
};

/* ---- small helpers ---- */

function element(name, properties = {}, ...children) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

const percent = (share) => `${Math.round(share * 100)} %`;
const samePicture = (a, b) => a && b && a.device === b.device
  && a.session_id === b.session_id && a.picture_id === b.picture_id;
const title = (label) => label.replaceAll('_', ' ');

function setBar(id, share) {
  const bar = $(id);
  const bounded = Math.min(1, Math.max(0, share));
  bar.firstElementChild.style.width = `${bounded * 100}%`;
  bar.setAttribute('aria-valuenow', String(Math.round(bounded * 100)));
}

function drawTop(list, guesses) {
  while (list.children.length < guesses.length) {
    list.append(element('li', {}, element('b'), element('span', { className: 'number' }),
      element('div', { className: 'bar' }, element('i'))));
  }
  while (list.children.length > guesses.length) list.lastElementChild.remove();
  guesses.forEach((guess, index) => {
    const [name, share, bar] = list.children[index].children;
    name.textContent = title(guess.label);
    share.textContent = percent(guess.probability);
    bar.firstElementChild.style.width = `${guess.probability * 100}%`;
  });
}

/* ---- current picture ---- */

/* A picture and what is said of it change together, in the order in which they were asked for. */
let asked = 0;
let shown = 0;
async function showPicture(url, alt, guesses, stage) {
  const ticket = ++asked;
  const next = new Image();
  next.src = url;
  const came = await next.decode().then(() => true, () => false);
  if (ticket < shown) return;
  shown = ticket;
  drawTop($('top'), guesses);
  showStage(stage);
  if (!came) return;
  const picture = $('picture');
  picture.src = next.src;
  picture.alt = alt;
  picture.hidden = false;
  $('empty').hidden = true;
}

function showNoPicture(guesses, stage) {
  shown = ++asked;
  drawTop($('top'), guesses);
  showStage(stage);
}

function showStage(text) {
  $('stage').hidden = !text;
  $('stage').textContent = text;
}

function showBytes(numPackets, total, numBytes) {
  setBar('bytes', total ? numPackets / total : 0);
  $('bytes-text').textContent = total
    ? `${numPackets} of ${total} · ${numBytes.toLocaleString('en')} bytes` : `${numBytes.toLocaleString('en')} bytes`;
}

function isShown(event) {
  if (!state.devices.has(event.device)) {
    state.devices.add(event.device);
    drawDevices();
  }
  if (state.device === null) state.device = event.device;
  return event.device === state.device;
}

function onPicture(event) {
  if (!isShown(event)) return;
  state.picture = { ...event, startedAt: performance.now(), ended: null };
  $('now-name').textContent = `${event.device} · picture ${event.picture_id}`;
  showBytes(0, event.num_packets, 0);
}

function onProgress(event) {
  if (!isShown(event) || !samePicture(event, state.picture)) return;
  showBytes(event.received_packets, state.picture.num_packets, event.received_bytes);
}

function onPreview(event) {
  if (!isShown(event) || !samePicture(event, state.picture) || state.picture.ended) return;
  const size = event.received_bytes.toLocaleString('en');
  const url = `api/v1/devices/${encodeURIComponent(event.device)}/preview.png?n=${event.picture_id}-${event.received_bytes}`;
  const alt = `picture ${event.picture_id} from its first ${size} bytes`;
  showPicture(url, alt, event.top, `${size} bytes, sharpening`);
}

function onEnded(event) {
  if (isShown(event) && samePicture(event, state.picture)) state.picture.ended = performance.now();
}

function onResult(result) {
  addRecent(result);
  if (!isShown(result)) return;
  if (state.picture && !samePicture(result, state.picture) && result.picture_id < state.picture.picture_id) return;
  showBytes(result.received_packets, result.num_packets, result.received_bytes);
  $('now-name').textContent = `${result.device} · picture ${result.picture_id}`;
  if (result.error) {
    showNoPicture(result.top, 'not decoded');
  } else if (result.received_bytes === 0) {
    showNoPicture(result.top, 'nothing arrived in time');
  } else {
    const stage = `${result.received_bytes.toLocaleString('en')} bytes, final`;
    showPicture(result.picture, describe(result), result.top, stage);
  }
}

function describe(result) {
  const best = result.top[0];
  const name = best ? `${title(best.label)}, ${percent(best.probability)}` : 'no result';
  return `picture ${result.picture_id}: ${name}, from ${result.received_bytes} bytes`;
}

function tick() {
  const picture = state.picture;
  if (picture && picture.deadline_s > 0) {
    const now = picture.ended ?? performance.now();
    const spent = (now - picture.startedAt) / 1000;
    setBar('deadline', spent / picture.deadline_s);
    $('deadline').classList.toggle('late', spent >= picture.deadline_s);
    const shown = Math.min(spent, picture.deadline_s).toFixed(2);
    $('deadline-text').textContent = `${shown} of ${picture.deadline_s.toFixed(2)} s`;
  }
  requestAnimationFrame(tick);
}

/* ---- recent results ---- */

function addRecent(result) {
  const best = result.top[0];
  const picture = result.error || !result.received_bytes
    ? element('span', { className: 'none', textContent: result.error ? 'not decoded' : 'nothing arrived' })
    : element('img', { src: result.picture, alt: '', width: 224, height: 224, loading: 'lazy' });
  const button = element('button', { type: 'button' },
    picture,
    element('strong', {},
      element('span', { textContent: best ? title(best.label) : '–', className: result.error ? 'error' : '' }),
      element('span', { className: 'number', textContent: best ? percent(best.probability) : '' })),
    element('small', { className: 'number' },
      element('span', { textContent: `#${result.picture_id}` }),
      element('span', { textContent: `${result.received_bytes.toLocaleString('en')} bytes` })));
  button.setAttribute('aria-label', describe(result));
  button.addEventListener('click', () => openDetail(result));
  $('recent').prepend(element('li', {}, button));
  while ($('recent').children.length > NUM_RECENT) $('recent').lastElementChild.remove();
}

function openDetail(result) {
  const slider = $('detail-slider');
  const show = () => {
    $('detail-bytes').textContent = Number(slider.value).toLocaleString('en');
    if (!result.error) $('detail-picture').src = `${result.picture}?bytes=${slider.value}`;
  };
  $('detail-title').textContent = `${result.device} · picture ${result.picture_id}`;
  slider.max = String(result.received_bytes);
  slider.value = slider.max;
  slider.oninput = show;
  $('detail-picture').removeAttribute('src');
  $('detail-picture').alt = describe(result);
  show();
  drawTop($('detail-top'), result.top);
  const facts = {
    ...(result.captured_at ? { taken: `${new Date(result.captured_at * 1000).toLocaleString()}, kept on the device` } : {}),
    ended: new Date(result.ended_at * 1000).toLocaleString(),
    deadline: `${result.deadline_s.toFixed(2)} s`,
    packets: `${result.received_packets} of ${result.num_packets || 'an unknown number'}`,
    'late bytes': result.late_bytes.toLocaleString('en'),
    'decode, classify': `${(result.decode_s * 1000).toFixed(0)} ms, ${(result.classify_s * 1000).toFixed(0)} ms`,
    checkpoint: result.checkpoint_id,
    link: result.link,
    ...(result.stopped_early ? { 'stopped early': 'a preview was sure enough' } : {}),
    ...(result.error ? { error: result.error } : {}),
  };
  $('detail-facts').replaceChildren(...Object.entries(facts).flatMap(([name, text]) => [
    element('dt', { textContent: name }), element('dd', { textContent: text })]));
  $('detail').showModal();
}

/* ---- state of the server ---- */

function drawDevices() {
  const choice = $('device');
  choice.replaceChildren(...[...state.devices].sort().map((name) => element('option', { value: name, textContent: name })));
  if (state.device) choice.value = state.device;
  choice.closest('label').hidden = state.devices.size < 2;
}

function drawConnection() {
  const links = [...state.links.values()];
  const connected = links.filter((link) => link.state === 'connected');
  const [kind, text] = !state.live ? ['bad', 'server not reached']
    : links.some((link) => link.state === 'lost') ? ['bad', 'link lost, opening again']
    : connected.length ? ['good', connected.map((link) => link.device_name).join(', ')]
    : ['wait', 'waiting for a device'];
  $('connection').dataset.state = kind;
  $('connection').textContent = text;
  const messages = [state.storeError, ...links.map((link) => link.message)].filter(Boolean);
  $('notice').hidden = messages.length === 0;
  $('notice').textContent = messages.join(' · ');
}

function onLink(link) {
  state.links.set(link.url, link);
  drawConnection();
}

function onStatus(status) {
  state.links = new Map(status.links.map((link) => [link.url, link]));
  state.curve = status.goodput;
  state.storeError = status.store_error;
  const metrics = status.metrics;
  $('goodput-now').textContent = formatRate(metrics.goodput_bps);
  $('results').textContent = metrics.results.toLocaleString('en');
  $('on-time').textContent = metrics.on_time_share === null ? '–' : percent(metrics.on_time_share);
  $('delay').textContent = metrics.median_delay_s === null ? '–' : `${Math.round(metrics.median_delay_s * 1000)} ms`;
  const names = status.checkpoints.map((checkpoint) => `${checkpoint.name} (${checkpoint.id})`);
  $('footer').textContent = `checkpoint ${names.join(', ')} · results in ${status.store}`;
  drawGoodput($('plot'), state.curve);
  drawConnection();
}

function onStore(event) {
  state.storeError = event.error;
  drawConnection();
}

async function loadRecent() {
  const answer = await fetch(`api/v1/results?limit=${NUM_RECENT}`);
  const { results } = await answer.json();
  $('recent').replaceChildren();
  for (const result of results.reverse()) onResult(result);
}

function listen() {
  const source = new EventSource('api/v1/events');
  const handlers = {
    status: onStatus, link: onLink, picture: onPicture, progress: onProgress,
    preview: onPreview, ended: onEnded, result: onResult, store: onStore,
  };
  for (const [kind, handle] of Object.entries(handlers)) {
    source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  }
  source.onopen = () => {
    state.live = true;
    drawConnection();
    loadRecent().catch(() => {});
  };
  source.onerror = () => {
    state.live = false;
    drawConnection();
  };
}

$('device').addEventListener('change', (event) => {
  state.device = event.target.value;
  state.picture = null;
});
new ResizeObserver(() => drawGoodput($('plot'), state.curve)).observe($('plot'));
listen();
requestAnimationFrame(tick);
