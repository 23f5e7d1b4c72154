/** `My shop 2` → `my-shop-2`: what is proposed as a slug while a name is typed (http §1.6). */
export function slugOf(name: string): string {
  return name
    .toLowerCase()
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 63)
    .replace(/-+$/, "");
}

export function slugProblem(slug: string): string | undefined {
  if (slug === "") return undefined;
  return /^[a-z0-9][a-z0-9-]{0,62}$/.test(slug) ? undefined : "Small letters, digits and dashes; begins with a letter or digit";
}
