/** Environment of a tenant's process (sdk §8.2). HOME, USER, LOGNAME and PWD come from the guest tool, which knows the user. */
const defaultPath = "/usr/local/bin:/usr/bin:/bin";
const setByTool = new Set(["HOME", "USER", "LOGNAME", "PWD"]);

export interface EnvironmentParts {
  /** Of the install: registry, certificates. */
  defaults: Record<string, string>;
  image: Record<string, string>;
  /** Of this process alone: env secrets, or what an exec asked for. */
  own: Record<string, string>;
}

export function processEnvironment(parts: EnvironmentParts): Record<string, string> {
  const environment: Record<string, string> = { ...parts.defaults };
  for (const [name, value] of Object.entries(parts.image)) {
    if (!name.startsWith("LD_") && !setByTool.has(name)) environment[name] = value;
  }
  if ((environment["PATH"] ?? "") === "") environment["PATH"] = defaultPath;
  for (const [name, value] of Object.entries(parts.own)) {
    if (!name.startsWith("LD_")) environment[name] = value;
  }
  return environment;
}
