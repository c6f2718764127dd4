// S3 access keys: made on the page, good for the inbox, revoked on the page.
import { ask, check, gallery, settings, signIn, watchedPage } from './harness.mjs';

export async function accessKeys(browser) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await page.goto(settings.url);
  await signIn(page);
  await page.getByRole('link', { name: 'S3 access keys' }).click();
  await page.getByRole('heading', { name: 'S3 access keys' }).waitFor();
  check('the page has an address', new URL(page.url()).pathname === '/inbox');

  await watched.allowing(/\b400\b/, async () => {
    await page.getByLabel('Only for this folder').fill('../elsewhere');
    await page.getByRole('button', { name: 'Make a key' }).click();
    await page.getByRole('alert').waitFor();
  });
  check('a wrong folder is refused in words', /folder such as/.test(await page.getByRole('alert').innerText()));

  await page.getByLabel('Only for this folder').fill('cardiology');
  await page.getByRole('button', { name: 'Make a key' }).click();
  await page.getByRole('heading', { name: 'Your new key' }).waitFor();
  const snippet = await page.locator('pre').innerText();
  check('settings to paste are shown', /aws_secret_access_key = \S{40}/.test(snippet) && snippet.includes('s3://inbox/cardiology/'), snippet);
  await gallery(page, 'inbox');
  const secret = /aws_secret_access_key = (\S{40})/.exec(snippet)?.[1] ?? '';
  await page.getByRole('button', { name: 'rclone' }).click();
  check('for each client', (await page.locator('pre').innerText()).includes('type = s3'));

  await page.reload();
  await page.getByRole('list', { name: 'Access keys' }).waitFor();
  check('the secret is shown once', secret !== '' && !(await page.content()).includes(secret));
  await page.getByRole('button', { name: /^Revoke THEATRUMU/ }).first().click();
  await page.getByRole('button', { name: 'Revoke for good' }).click();
  await page.getByText('There are no keys yet.').waitFor();
  check('a revoked key is gone', true);
  await older(page);
  watched.checkClean('access keys');
  await watched.context.close();
}

/** More keys than a page of the list holds. */
async function older(page) {
  for (let number = 0; number < 101; number += 1) await ask('POST', '/v1/s3-credentials', {});
  await page.reload();
  const keys = page.getByRole('list', { name: 'Access keys' }).getByRole('listitem');
  await keys.first().waitFor();
  check('a hundred keys are shown at first', (await keys.count()) === 100, `${await keys.count()}`);
  const about = await keys.first().innerText();
  check('a key says whose it is and what for', about.includes('admin, all of the inbox, since '), about);
  const more = page.getByRole('button', { name: 'Load more' });
  await more.click();
  await more.waitFor({ state: 'detached' });
  check('then the others', (await keys.count()) === 101, `${await keys.count()}`);
}
