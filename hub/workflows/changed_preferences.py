"""The task that decides again when held deliveries leave, after their user changed the quiet hours, do-not-disturb, the
daily limit, a digest, or the time zone.

A change of a user increases the revision of the user and sets `redecide_at`. The task makes the held deliveries with an
older revision due, and the release decides again about each. Open digests get the end that the user chose. A send that
read the old preferences may still be committed until its deadline, so the last pass, which must find nothing, is twice
that time after the change.

Every worker may run the task: each step is idempotent.
"""

from datetime import datetime, timedelta

from hub.audience.tenants import Tenants, default_category
from hub.audience.users import Users
from hub.decide.digest_choices import changed_end
from hub.model import User, tenant_of
from hub.status.digests import Digests
from hub.status.held_deliveries import HeldDeliveries
from hub.utc_time import Clock

RELEASE_TIME = timedelta(seconds=1)  # between two passes, in which deliveries are released
USERS_MAX = 50  # users per round


class ChangedPreferences:
    def __init__(
        self,
        users: Users,
        tenants: Tenants,
        held: HeldDeliveries,
        digests: Digests,
        clock: Clock,
        commit_deadline_s: float,
    ) -> None:
        self._users = users
        self._tenants = tenants
        self._digests = digests
        self._held = held
        self._clock = clock
        self._last_pass = timedelta(seconds=2 * commit_deadline_s)

    async def tick(self) -> int:
        """Decide again about the deliveries of some users. Return the number of users."""
        users = await self._users.list_revised(self._clock(), USERS_MAX)
        for user in users:
            await self._decide_again(user)
        return len(users)

    async def _decide_again(self, user: User) -> None:
        now = self._clock()
        last_pass = (user.revised_at or now) + self._last_pass
        changed = await self._change_digests(user, now)
        if await self._held.make_outdated_due(user.id, user.revision, now) or changed:
            await self._users.set_redecide_at(user, now + RELEASE_TIME)
        else:
            await self._users.set_redecide_at(user, None if now >= last_pass else last_pass)

    async def _change_digests(self, user: User, now: datetime) -> int:
        """Decide again when open digests of a user leave, at most one batch. Return their number."""
        digests = await self._digests.list_outdated(user.id, user.revision, now)
        if digests:
            tenant = await self._tenants.get(tenant_of(user.id))
            ends = {
                digest.id: changed_end(
                    digest, user, tenant, tenant.category(digest.category) or default_category(digest.category)
                )
                for digest in digests
            }
            await self._digests.set_ends(user.id, user.revision, ends, now)
        return len(digests)
