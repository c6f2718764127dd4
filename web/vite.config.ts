// How the page is built: hashed files under /assets/, nothing inlined (the Content-Security-Policy forbids it).
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

const server = process.env.THEATRUM_URL ?? 'http://127.0.0.1:8080';

export default defineConfig({
  plugins: [svelte()],
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
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
