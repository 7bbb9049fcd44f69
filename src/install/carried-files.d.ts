/** Files that the executable carries as text: `import text from "…" with { type: "text" }`. */
declare module "*.md" {
  const text: string;
  export default text;
}
declare module "*.service" {
  const text: string;
  export default text;
}
declare module "*.py" {
  const text: string;
  export default text;
}
