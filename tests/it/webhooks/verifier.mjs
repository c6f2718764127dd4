// Verifies with the npm package standardwebhooks what standard input gives as JSON; answers with the events it read. Fails at the first that is forged.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { Webhook } = createRequire(process.env.VERIFIER_HOME + '/')('standardwebhooks');
const { secret, messages } = JSON.parse(readFileSync(0, 'utf8'));
const verifier = new Webhook(secret);
process.stdout.write(JSON.stringify(messages.map(({ headers, body }) => verifier.verify(body, headers))));
