// What was dropped onto the form: single files, and folders with everything below them.

const ARCHIVE = /\.(zip|tar|tgz|txz|tbz2|tar\.(gz|xz|bz2))$/i;
const CLUTTER = new Set(["__pycache__", "node_modules", "venv", "__macosx", "thumbs.db", "desktop.ini"]);

export const isArchive = (name) => ARCHIVE.test(name);

// As the kernel does (gathering.py): left out here already, because a folder of libraries takes minutes to read.
export const isClutter = (path) => path.split("/").some((part) => part.startsWith(".") || CLUTTER.has(part.toLowerCase()));

// `most`: where reading a folder stops; one file more than that, so that the kernel can say it is too many.
export async function dropped(transfer, most) {
  // the list is only there until the first pause
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (entries.length === 0) return { files: [...transfer.files], folders: [] };
  const files = [];
  const folders = [];
  for (const entry of entries) {
    if (entry.isDirectory) folders.push({ name: entry.name, files: await below(entry, entry.name, most) });
    else files.push(await fileOf(entry));
  }
  return { files, folders };
}

async function below(folder, path, most) {
  const found = [];
  const waiting = [[folder, path]];
  while (waiting.length > 0 && found.length <= most) {
    const [next, prefix] = waiting.pop();
    for (const entry of await entriesOf(next)) {
      const inside = `${prefix}/${entry.name}`;
      if (isClutter(entry.name)) continue;
      if (entry.isDirectory) waiting.push([entry, inside]);
      else found.push({ path: inside, file: await fileOf(entry) });
      if (found.length > most) break;
    }
  }
  return found;
}

const fileOf = (entry) => new Promise((done, fail) => entry.file(done, fail));

// A browser gives a hundred entries at a time, and none when there are no more.
async function entriesOf(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (some.length === 0) return all;
    all.push(...some);
  }
}
