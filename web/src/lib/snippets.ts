// Settings of S3 clients, ready to be pasted. Pure functions of what the server gave.
import type { MadeS3Credential } from './api';

export interface Snippet {
  client: string;
  where: string;
  text: string;
}

/** One for each client that people ask for first. */
export function snippets(made: MadeS3Credential): Snippet[] {
  const { access_key_id: id, secret_access_key: secret, endpoint_url: endpoint, bucket, prefix } = made;
  const host = endpoint.replace(/^https?:\/\//, '');
  const folder = `${bucket}/${prefix}`;
  return [
    {
      client: 'aws-cli',
      where: 'Append to ~/.aws/credentials, then run the command below it.',
      text: [
        '[theatrum]',
        `aws_access_key_id = ${id}`,
        `aws_secret_access_key = ${secret}`,
        'region = us-east-1',
        '',
        `aws --profile theatrum --endpoint-url ${endpoint} \\`,
        `  s3 cp film.mp4 s3://${folder}`,
      ].join('\n'),
    },
    {
      client: 'rclone',
      where: 'Append to ~/.config/rclone/rclone.conf, then run the command below it.',
      text: [
        '[theatrum]',
        'type = s3',
        'provider = Other',
        `access_key_id = ${id}`,
        `secret_access_key = ${secret}`,
        `endpoint = ${endpoint}`,
        '',
        `rclone move films theatrum:${folder}`,
      ].join('\n'),
    },
    {
      client: 's3cmd',
      where: 'Save as theatrum.s3cfg, then run the command below it.',
      text: [
        '[default]',
        `access_key = ${id}`,
        `secret_key = ${secret}`,
        `host_base = ${host}`,
        `host_bucket = ${host}`,
        `use_https = ${endpoint.startsWith('https:') ? 'True' : 'False'}`,
        '',
        `s3cmd -c theatrum.s3cfg put film.mp4 s3://${folder}`,
      ].join('\n'),
    },
  ];
}
