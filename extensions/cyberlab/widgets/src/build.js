// Bundles each widget into one ES module beside its Python module. The first line of a bundle carries the digest of
// all sources: a unit test compares it, so a source changed without a new bundle is noticed without Node.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

function sources(folder = here) {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.name !== "node_modules")
    .flatMap((entry) => (entry.isDirectory() ? sources(join(folder, entry.name)) : [join(folder, entry.name)]));
}

function digest() {
  const hash = createHash("sha256");
  for (const file of sources().sort()) hash.update(relative(here, file) + "\n").update(readFileSync(file));
  return hash.digest("hex");
}

function licences() {
  const root = join(here, "node_modules");
  const texts = ["preact", "uplot", "@codemirror/view", "style-mod", "w3c-keyname"].map(
    (name) => `${name}\n\n${readFileSync(join(root, name, "LICENSE"), "utf8").trim()}\n`,
  );
  return `The bundles image_form.js and sensors.js contain the following libraries, all under the MIT License.\n@codemirror/*, @lezer/*, crelt and @marijn/find-cluster-break share the licence of @codemirror/view.\n\n${texts.join("\n\n")}`;
}

const banner = `/* Made from src/ by \`npm run build\`: change the sources, not this file. sources ${digest()} */`;
for (const name of ["image_form", "sensors"]) {
  await build({
    entryPoints: [join(here, name === "sensors" ? "sensors/index.jsx" : "form/index.jsx")],
    outfile: join(here, "..", `${name}.js`),
    bundle: true,
    format: "esm",
    target: "es2022",
    minify: true,
    legalComments: "none",
    jsx: "automatic",
    jsxImportSource: "preact",
    banner: { js: banner, css: banner },
    loader: { ".css": "css" },
  });
}
writeFileSync(join(here, "..", "LICENSES.txt"), licences());
