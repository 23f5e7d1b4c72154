/** Stands where rows will be; appears only when loading takes a noticeable time. */
export function SkeletonRows({ rows = 6 }: { rows?: number }) {
  return (
    <div role="status" aria-label="Loading" className="animate-[fade-in_200ms_ease-out_150ms_backwards] space-y-3 p-3.5">
      {Array.from({ length: rows }, (_, index) => (
        <div key={index} className="flex gap-4">
          <div className="h-3.5 w-24 rounded bg-hover" />
          <div className="h-3.5 grow rounded bg-hover" style={{ maxWidth: `${70 - ((index * 17) % 40)}%` }} />
        </div>
      ))}
    </div>
  );
}
