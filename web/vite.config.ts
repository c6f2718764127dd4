// How the page is built: hashed files under /assets/, nothing inlined (the Content-Security-Policy forbids it).
import { fileURLToPath } from 'node:url';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const server = process.env.THEATRUM_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: ['chrome111', 'firefox115', 'safari16.4'],
    assetsInlineLimit: 0,
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
