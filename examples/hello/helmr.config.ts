import { defineConfig } from "@helmr/sdk";

export default defineConfig({
  project: "my-project",
  dirs: ["./tasks"],
});
