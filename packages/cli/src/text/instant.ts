/** Instants in text output: RFC 3339 with seconds (cli §1). The wire has up to nine fraction digits. */
export function instant(text: string): string {
  return text.replace(/^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d+/, "$1");
}
