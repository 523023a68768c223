import { getToken } from "./token";

/** @param {{ navigate: (path: string) => void }} props */
export function Bell({ navigate }) {
  return (
    <hub-inbox
      getToken={getToken}
      onhub-open={(event) => {
        const { url } = event.detail;
        if (!url?.startsWith("/")) return; // not in this app: the browser follows the link
        event.preventDefault();
        navigate(url);
      }}
    />
  );
}
