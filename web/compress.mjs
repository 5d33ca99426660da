// Compresses the files of a bundle with gzip and Brotli.
//
// Usage: node compress.mjs <directory of the bundle> <directory for the compressed files>
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const [from, to] = process.argv.slice(2);
// Larger files would take seconds at the best quality.
const LARGE = 600_000;

for (const entry of readdirSync(from, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile()) continue;
  const path = join(entry.parentPath ?? entry.path, entry.name);
  const file = join(to, path.slice(from.length));
  const contents = readFileSync(path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.gz`, gzipSync(contents, { level: constants.Z_BEST_COMPRESSION }));
  const params = { [constants.BROTLI_PARAM_QUALITY]: contents.length > LARGE ? 9 : 11 };
  writeFileSync(`${file}.br`, brotliCompressSync(contents, { params }));
}
