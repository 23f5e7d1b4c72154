import { sandbox, task } from "@helmr/sdk";

/** One line at once. */
export const firstLine = task({
  id: "first-line",
  sandbox: sandbox("default"),
  run() {
    console.log("first");
  },
});
