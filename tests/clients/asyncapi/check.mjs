// Says what AsyncAPI's own parser finds wrong with a document, a line each, warnings included.
import { readFile } from 'node:fs/promises';
import { Parser } from '@asyncapi/parser';

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], 'utf8'));
const wrong = diagnostics.filter(({ severity }) => severity <= 1);
for (const { code, path, message } of wrong) console.log(`${code} at ${path.join('/')}: ${message}`);
if (!document || wrong.length > 0) process.exit(1);
console.log(`${document.channels().length} channels, ${document.operations().length} operations`);
