// The parts of packages that the examples use and this repository does not install.

declare module "react" {
  export interface HTMLAttributes<T> {
    id?: string;
    onClick?: (event: { target: T }) => void;
  }
  export type DetailedHTMLProps<Props, T> = Props & { ref?: { current: T | null } };
  export namespace JSX {
    interface Element {
      type: string;
    }
    interface IntrinsicElements {
      div: DetailedHTMLProps<HTMLAttributes<HTMLDivElement>, HTMLDivElement>;
    }
  }
}

declare module "react/jsx-runtime" {
  export { JSX } from "react";
  export const jsx: unknown;
  export const jsxs: unknown;
}
