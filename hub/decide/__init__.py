"""What, where and when: pure policy that answers for every channel, with a reason for every no."""
