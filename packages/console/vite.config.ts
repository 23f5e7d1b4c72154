import tailwindcss from "@tailwindcss/vite";
import { defineConfig, loadEnv } from "vite";

/** `npm run dev -w packages/console` talks to a running control plane: HELMR_DEV_API, by default the one `./helmr up` starts. */
export default defineConfig(({ mode }) => {
  const api = loadEnv(mode, ".", "HELMR_DEV_")["HELMR_DEV_API"] ?? "http://127.0.0.1:8787";
  // The server takes requests that change something only from its own origin.
  const proxied = { target: api, changeOrigin: true, headers: { origin: api } };
  return {
    plugins: [tailwindcss()],
    server: { proxy: { "/api": proxied, "/dev": proxied } },
    build: {
      target: "es2023",
      reportCompressedSize: false,
      chunkSizeWarningLimit: 600,
      rolldownOptions: {
        // Libraries mark their files "use client"; there is no server rendering here for which that would mean something.
        onLog: (level, log, next) => void (log.code === "MODULE_LEVEL_DIRECTIVE" || next(level, log)),
      },
    },
  };
});
