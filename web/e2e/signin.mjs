// Signing in, being refused, signing out; and that the page is served under a strict policy.
import { check, gallery, settings, signIn, watchedPage } from './harness.mjs';

export async function signingIn(browser) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  const answer = await page.goto(settings.url);
  await page.waitForURL(/\/signin/);
  const policy = answer.headers()['content-security-policy'] ?? '';
  check('the policy is strict', /default-src 'none'/.test(policy) && /script-src 'self'(;|$)/.test(policy) && !/unsafe/.test(policy), policy);
  check('signed out, the page asks to sign in', await page.getByRole('heading', { name: 'Sign in' }).isVisible());
  await gallery(page, 'signin');
  watched.checkClean('sign-in page');

  await watched.allowing(/\b(400|401|403|422)\b/, async () => {
    await signIn(page, 'not-a-token');
    await page.getByRole('alert').waitFor();
  });
  check('a wrong token is refused in words', /not accepted/.test(await page.getByRole('alert').innerText()));
  check('the field is marked', (await page.getByLabel('Access token').getAttribute('aria-invalid')) === 'true');
  await gallery(page, 'signin-refused');

  await signIn(page);
  await page.getByRole('heading', { name: 'Library' }).waitFor();
  check('a right token opens the library', new URL(page.url()).pathname === '/');
  const cookies = await watched.context.cookies();
  const cookie = cookies.find(({ name }) => name === 'theatrum_session');
  check('the session is a cookie no script can read', cookie?.httpOnly === true && cookie.sameSite === 'Strict', JSON.stringify(cookies.map(({ name }) => name)));
  const kept = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }) + document.cookie);
  check('the token is kept nowhere else', !kept.includes(settings.token));

  await watched.allowing(/\b404\b/, async () => {
    const lost = await page.goto(`${settings.url}/nowhere/at/all`);
    await page.getByRole('heading', { name: 'There is nothing here' }).waitFor();
    check('a wrong address is answered in words, with 404', lost.status() === 404);
  });
  await page.getByRole('link', { name: 'Go to the library' }).click();
  await page.getByRole('heading', { name: 'Library' }).waitFor();

  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await page.goto(settings.url);
  await page.waitForURL(/\/signin/);
  check('signing out ends it', (await watched.context.cookies()).every(({ name, value }) => name !== 'theatrum_session' || value === ''));
  watched.checkClean('signing in and out');
  await watched.context.close();
}
