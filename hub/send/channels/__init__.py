"""One module per channel. Each implements `hub.send.channel.ChannelModule`."""
