// Runs Python in MicroPython: node run.mjs MICROPYTHON.mjs FOLDER STATEMENT, FOLDER's *.py importable.
import fs from "fs";
import path from "path";
import { pathToFileURL } from "url";

const [, , interpreter, folder, statement] = process.argv;
const { loadMicroPython } = await import(pathToFileURL(interpreter).href);
const python = await loadMicroPython({
  heapsize: 1024 * 1024,
  stdout: (line) => console.log(line),
});
for (const name of fs.readdirSync(folder)) {
  if (name.endsWith(".py")) {
    python.FS.writeFile("/" + name, fs.readFileSync(path.join(folder, name)));
  }
}
python.runPython("import sys; sys.path.append('/')\n" + statement);
