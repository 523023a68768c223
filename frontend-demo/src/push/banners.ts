/**
 * Closes the banners on this device of what is not waiting to be read any more, told by the id of its notification.
 * Pages do it for what is read elsewhere: a push that only closed one would have to show another.
 */
export async function closeBanners(gone: (id: string) => boolean): Promise<void> {
  try {
    const registration = await navigator.serviceWorker?.getRegistration();
    for (const banner of (await registration?.getNotifications()) ?? []) {
      const id = (banner.data as { hub?: { id: string } } | null)?.hub?.id;
      if (id && gone(id)) banner.close();
    }
  } catch (error) {
    console.warn("hub: banners are left as they are", error);
  }
}
