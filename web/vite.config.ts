// How the page is built: hashed files under /assets/, nothing inlined (the Content-Security-Policy forbids it).
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

const server = process.env.THEATRUM_URL ?? 'http://127.0.0.1:8080';

/** Packs what is worth it, once: the server sends NAME.gz to whoever takes gzip. */
const packed: Plugin = {
  name: 'packed',
  apply: 'build',
  writeBundle({ dir = '' }, bundle) {
    for (const name of Object.keys(bundle).filter((name) => /\.(js|css|svg|md)$/.test(name))) {
      const plain = readFileSync(join(dir, name));
      const small = gzipSync(plain, { level: 9 });
      if (small.length < plain.length * 0.9) writeFileSync(join(dir, `${name}.gz`), small);
    }
  },
};

export default defineConfig({
  plugins: [svelte(), packed],
  build: {
    target: ['chrome111', 'firefox115', 'safari16.4'],
    assetsInlineLimit: 0,
    // embed.html is the page that other sites show in a frame.
    rollupOptions: { input: ['index.html', 'embed.html'] },
    license: { fileName: 'assets/licenses.md' },
    modulePreload: { polyfill: false },
    // hls.js is one module of 600 kB; it is loaded only by the watch page.
    chunkSizeWarningLimit: 700,
  },
  worker: { format: 'es' },
  server: { proxy: { '/v1': server, '/t': server } },
  // The client for others is tested here, where its one dependency is installed.
  resolve: { alias: { 'openapi-fetch': fileURLToPath(new URL('node_modules/openapi-fetch', import.meta.url)) } },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
