"""Postroom: the room through which every e-mail of a company's software leaves."""
