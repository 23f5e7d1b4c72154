/** The name patterns of http §1.6, in one place for server, SDK, CLI and guest. */
export const namePattern = {
  task: /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/,
  queue: /^[A-Za-z0-9][A-Za-z0-9._/-]{0,255}$/,
  stream: /^[A-Za-z0-9][A-Za-z0-9._-]{0,255}$/,
  secret: /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/,
  slug: /^[a-z0-9][a-z0-9-]{0,62}$/,
  environmentVariable: /^[A-Za-z_][A-Za-z0-9_]*$/,
} as const;
