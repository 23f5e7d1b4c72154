import type { PayloadSchema } from "@helmr/sdk";

export interface Decision {
  approved: boolean;
  by: string;
}

export const decisionSchema: PayloadSchema<Decision> = {
  "~standard": {
    version: 1,
    vendor: "examples",
    validate(value) {
      const { approved, by } = (value ?? {}) as Record<string, unknown>;
      if (typeof approved !== "boolean") return { issues: [{ message: "must be true or false", path: ["approved"] }] };
      if (typeof by !== "string" || by === "") return { issues: [{ message: "must name who decided", path: ["by"] }] };
      return { value: { approved, by } };
    },
  },
};

/** What is to be approved. */
export interface Change {
  title: string;
  timeoutSeconds: number;
}

export const changeSchema: PayloadSchema<{ title: string; timeoutSeconds?: number }, Change> = {
  "~standard": {
    version: 1,
    vendor: "examples",
    validate(value) {
      const { title, timeoutSeconds = 3600 } = (value ?? {}) as Record<string, unknown>;
      if (typeof title !== "string" || title === "") return { issues: [{ message: "must be a text", path: ["title"] }] };
      if (typeof timeoutSeconds !== "number" || !(timeoutSeconds > 0))
        return { issues: [{ message: "must be greater than zero", path: ["timeoutSeconds"] }] };
      return { value: { title, timeoutSeconds } };
    },
  },
};
