import { defineConfig } from "@helmr/sdk";

export default defineConfig({
  project: "examples",
  dirs: ["./tasks"],
});
