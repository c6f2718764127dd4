// The page sends one file and says how it goes, a word a line: `open` once someone is signed in; told `send`, it sends; `arrived` when the
// page says so. Whoever runs it may spoil the network meanwhile.
//
// THEATRUM_URL, THEATRUM_TOKEN, THEATRUM_FILE    PATIENCE_MS  (default 900000)    CHROMIUM  its path (default /usr/bin/chromium)
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const { THEATRUM_URL: url, THEATRUM_TOKEN: token, THEATRUM_FILE: file } = process.env;
const patienceMs = Number(process.env.PATIENCE_MS ?? 900_000);
const told = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
});
const failures = [];
try {
  const page = await browser.newPage();
  page.on('pageerror', (error) => failures.push(String(error)));
  await page.goto(url);
  await page.getByLabel('Access token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  const chooser = page.getByLabel('Choose videos to upload');
  await chooser.waitFor({ state: 'attached' });
  console.log('open');
  await told.next();
  await chooser.setInputFiles(file);
  // What has arrived is a card; what cannot go on says why.
  const stuck = page.locator(['failed', 'paused'].map((state) => `[data-upload][data-state="${state}"]`).join());
  await page.locator('[data-video]').or(stuck).first().waitFor({ timeout: patienceMs });
  console.log((await stuck.count()) === 0 ? 'arrived' : (await stuck.first().innerText()).replaceAll('\n', ' '));
} catch (error) {
  failures.push(String(error));
} finally {
  await browser.close();
}
for (const failure of failures) console.error(failure);
process.exit(failures.length === 0 ? 0 : 1);
