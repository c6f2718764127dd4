// The API's reference, which is there for everyone; and a video that gets another title.
import { check, gallery, settings, signIn, watchedPage } from './harness.mjs';

export async function reading(browser) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await page.goto(`${settings.url}/docs/api`);
  await page.getByRole('heading', { name: 'API reference' }).waitFor();
  await page.locator('details').first().waitFor();
  const all = await page.locator('details').count();
  const { paths } = await (await page.request.get(`${settings.url}/v1/openapi.json`)).json();
  check('the reference has every operation', all === Object.values(paths).flatMap(Object.keys).length, String(all));
  await gallery(page, 'reference');
  await page.getByPlaceholder(/Search/).fill('begin upload');
  check('a search narrows it', (await page.locator('details').count()) === 1);
  await page.locator('summary').click();
  check('an operation shows a command to try', /curl -X POST/.test(await page.locator('details').innerText()));
  await gallery(page, 'reference-open');
  await page.getByPlaceholder(/Search/).fill('no such thing');
  await page.getByRole('button', { name: 'Show all' }).click();
  check('nothing found leads back to all', (await page.locator('details').count()) === all);
  watched.checkClean('reference');
  await watched.context.close();
}

export async function editing(browser, video) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await page.goto(settings.url);
  await signIn(page);
  const card = page.locator(`[data-video="${video}"]`);
  await card.waitFor();
  const before = (await card.getByRole('heading').innerText()).trim();
  await edit(page, card, 'The heart, third lecture', 'Anatomy/2026');
  check('a new title is shown at once', (await card.getByRole('heading').innerText()).trim() === 'The heart, third lecture');
  check('so is the collection', /Anatomy\/2026/.test(await card.innerText()));
  await page.reload();
  await card.waitFor();
  check('it is the same after a reload', /The heart, third lecture/.test(await card.innerText()));
  await edit(page, card, before, '');
  watched.checkClean('editing');
  await watched.context.close();
}

async function edit(page, card, title, collection) {
  await card.hover();
  await card.getByRole('button', { name: /^Edit/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Title').fill(title);
  await dialog.getByLabel('Collection').fill(collection);
  if (collection) await gallery(page, 'edit');
  await dialog.getByRole('button', { name: 'Save' }).click();
  await dialog.waitFor({ state: 'detached' });
}
