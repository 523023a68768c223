"use client";
import { useRouter } from "next/navigation";
import { App } from "../examples/react/app";
import { EmailSwitch } from "../examples/react/email-switch";
import { UnreadCount, UnreadList } from "../examples/react/unread-list";

export default function Page() {
  const { push } = useRouter();
  return (
    <App navigate={push}>
      <UnreadCount />
      <UnreadList />
      <EmailSwitch />
    </App>
  );
}
