// hub.d.ts
import "react";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "hub-inbox": DetailedHTMLProps<HTMLAttributes<HTMLElement>, HTMLElement> & {
        endpoint?: string;
        token?: string;
        locale?: string;
        theme?: "light" | "dark" | "auto";
        getToken?: (refused?: string) => string | Promise<string>;
        "onhub-open"?: (event: CustomEvent<{ url?: string }>) => void;
      };
    }
  }
}
