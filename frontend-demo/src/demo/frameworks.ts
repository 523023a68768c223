/** The pages that are made with the packages for React and Vue. */

const FRAMEWORKS = ["React", "Vue"] as const;

export function frameworkOf(user: string, index: number): { name: string; address: string } {
  const framework = FRAMEWORKS[index] ?? "Vue";
  return { name: `${user} in ${framework}`, address: `/${framework.toLowerCase()}?user=${user}` };
}
