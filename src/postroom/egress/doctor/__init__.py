"""The doctor: looks at an account stage by stage over the network and hands over no mail."""
