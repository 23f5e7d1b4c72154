export function EnvironmentDot({ color }: { color: string }) {
  return <span aria-hidden="true" className="size-2.5 shrink-0 rounded-full ring-1 ring-ink/15 ring-inset" style={{ background: color }} />;
}
