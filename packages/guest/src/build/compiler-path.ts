/**
 * esbuild's own way of being told where its binary is. It is read while its module is loaded, so this one is imported before it; afterwards
 * `forgetCompiler` takes the variables away, because a project may bring an esbuild of its own.
 */
const given = process.env["HELMR_COMPILER"];
if (given !== undefined) process.env["ESBUILD_BINARY_PATH"] = given;

export function forgetCompiler(): void {
  delete process.env["HELMR_COMPILER"];
  delete process.env["ESBUILD_BINARY_PATH"];
}
