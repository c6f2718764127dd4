// Signs with @aws-sdk/cloudfront-signer what standard input asks for as JSON; answers with JSON: URLs, or cookies.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const { getSignedCookies, getSignedUrl } = createRequire(process.env.SIGNER_HOME + '/')('@aws-sdk/cloudfront-signer');
const asked = JSON.parse(readFileSync(0, 'utf8'));
const privateKey = readFileSync(asked.private_key, 'utf8');
const common = { keyPairId: asked.key_pair_id, privateKey, algorithm: asked.algorithm };

const sign = ({ url, resource, expires, cookies }) => {
  const dateLessThan = new Date(expires * 1000).toISOString();
  const policy = resource && JSON.stringify({ Statement: [{ Resource: resource, Condition: { DateLessThan: { 'AWS:EpochTime': expires } } }] });
  const wanted = policy ? { ...common, url, policy } : { ...common, url, dateLessThan };
  return cookies ? getSignedCookies(wanted) : getSignedUrl(wanted);
};
process.stdout.write(JSON.stringify(asked.links.map(sign)));
