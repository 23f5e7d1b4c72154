export function Logo({ className }: { className?: string }) {
  return (
    <svg viewBox="0 0 32 32" fill="none" className={className} aria-hidden="true">
      <rect width="32" height="32" rx="7" fill="oklch(48% 0.095 215)" />
      <g stroke="#fff" strokeWidth="2.2" strokeLinecap="round">
        <circle cx="16" cy="16" r="6.4" />
        <path d="M16 4.8v22.4M4.8 16h22.4M8.1 8.1l15.8 15.8M23.9 8.1 8.1 23.9" />
      </g>
      <circle cx="16" cy="16" r="2.6" fill="#fff" />
    </svg>
  );
}
