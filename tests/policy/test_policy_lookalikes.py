"""Texts that look like what a rule means and mean something else: no rule may take them for its own."""

import pytest

from each_row import each
from postroom.model.outcome import Evidence, OutcomeKind
from postroom.model.reply import Reply
from postroom.model.step import Step
from postroom.policy.classify import classify


def cause_of(step: str, reply: str) -> str:
    read = Reply(int(reply[:3]), (reply[4:],), b"")
    return classify(Evidence(step=Step(step), reply=read, host="mx.example.net", port=587)).cause


@each(
    ("step", "reply", "not_these"),
    [
        # account-blocked: the recipient's account is no reason to stop ours
        ("rcpt", "550 5.2.1 The recipient's account is suspended", "account-blocked"),
        ("rcpt", "550 Sending to this account is disabled by its owner", "account-blocked"),
        ("rcpt", "550 Domain is disabled", "account-blocked"),
        ("body_end", "550 The attached licence is invalid", "account-blocked"),
        # auth-needed: authentication of the message is none of the login
        ("mail", "550 5.7.1 SPF authentication required for example.org", "auth-needed"),
        ("rcpt", "550 5.7.1 DMARC: sender must be authenticated", "auth-needed"),
        ("rcpt", "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required", "auth-needed"),
        # relay-denied: it stops the transport
        (
            "rcpt",
            "550 Delivery is not allowed to this address after office hours, the mailbox is closed",
            "relay-denied",
        ),
        ("rcpt", "550 5.1.1 relay@example.com does not exist", "relay-denied"),
        (
            "body_end",
            "550 The relay of your message was delayed and its content rejected as spam",
            "relay-denied",
        ),
        # rcpt-limit against the limits of an hour
        ("rcpt", "452 4.5.3 Too many recipients this hour", "rcpt-limit"),
        ("rcpt", "452 Too many recipients received from the sender", "rcpt-limit"),
        ("rcpt", "452 4.5.3 Daily quota exceeded", "rcpt-limit"),
        # sending-limit and rate-limit against sizes and mailboxes
        ("rcpt", "552 5.2.2 The mailbox quota is exceeded, 500 messages", "sending-limit|rate-limit"),
        ("body_end", "552 邮件大小超过限制", "sending-limit|rate-limit"),
        ("body_end", "552 Превышен максимальный размер письма", "sending-limit|rate-limit"),
        ("body_end", "552 Limite di dimensione superato: messaggio troppo grande", "sending-limit"),
        ("body_end", "552 Too much mail data someone@example.ne.jp", "rate-limit|sending-limit"),
        # rcpt-full against the sender's own quota
        ("rcpt", "450 4.7.1 policyd: Quota exceeded for sender user@example.org", "rcpt-full"),
        # size against numbers of messages
        ("mail", "550 This message has exceeded the max number of messages per session", "size"),
        ("mail", "554 The number of recipients exceeds the limit", "size"),
        # sender-domain: a domain that is not verified or not liked does exist
        ("body_end", "550 5.7.1 Sender domain example.org is not verified", "sender-domain"),
        ("body_end", "550 5.7.1 Sender domain reputation too low", "sender-domain"),
        ("rcpt", "550 5.1.2 Domain does not exist", "sender-domain"),
        # from-not-owned: conforming to a standard is no ownership
        ("body_end", "550 Your message does not conform to RFC5322: missing From header", "from-not-owned"),
        ("mail", "550 Sender address rejected: Access denied", "from-not-owned"),
        ("mail", "451 4.7.1 Sender address rejected: out_ratelimit", "from-not-owned|sender-rejected"),
        # sender-rejected: the address of the machine and that of the recipient are others
        ("mail", "554 Your IP address is blacklisted", "sender-rejected"),
        ("mail", "554 5.7.1 Sender IP 192.0.2.7 rejected, on a blacklist", "sender-rejected"),
        ("rcpt", "550 5.1.1 Recipient address rejected: User unknown", "sender-rejected"),
        ("mail", "553 5.7.1 Sender address rejected: not owned by user", "sender-rejected"),
        ("mail", "550 Sender address rejected: undeliverable address: user unknown", "sender-rejected"),
        # blocklist stops the transport: only for the machine's own address
        ("rcpt", "550 Your e-mail address user@example.org has been blacklisted", "blocklist"),
        ("rcpt", "551 Sender is on the domain's blacklist", "blocklist"),
        ("body_end", "554 Message rejected: Address blacklisted.", "blocklist"),
        (
            "body_end",
            "554 5.7.1 Service unavailable; Sender address [u@example.org] blocked using dbl",
            "blocklist",
        ),
        ("rcpt", "550 5.1.1 Recipient is in the blocked list (preblocked)", "blocklist|rcpt-unknown"),
        # client-refused stops the transport too
        ("rcpt", "550 The recipient blocked your message", "client-refused"),
        ("body_end", "550 Ship of the line 3 was rejected", "client-refused"),
        ("body_end", "550 Your client sent a message that was rejected", "client-refused"),
        # conn-limit
        (
            "body_end",
            "550 The limit of sessions in the attached calendar is fine, the text is spam",
            "conn-limit",
        ),
        # rcpt-unknown and the reasons that share its code
        ("rcpt", "550 5.1.1 Suspended user", "rcpt-unknown"),
        ("rcpt", "556 5.1.10 Recipient address has null MX", "rcpt-unknown"),
        ("mail", "550 域名不存在", "rcpt-unknown"),
        ("rcpt", "550 ドメインが存在しません", "rcpt-unknown"),
        ("body_end", '554 The attachment named "user unknown.pdf" is not allowed', "rcpt-unknown"),
        # rcpt-suppressed
        ("body_end", "550 5.7.1 Header suppressed content inactive, rejected", "rcpt-full"),
        ("rcpt", "550 5.2.1 This account is inactive", "rcpt-suppressed"),
        # try-later must not hide a limit
        ("mail", "554 5.7.1 Too many mails sent from your IP, try again later", "try-later"),
        # spam
        ("rcpt", "550 5.1.1 spamtrap@example.com: no such user", "spam"),
        # rdns
        ("rcpt", "550 The host does not match any route", "rdns"),
        # bad-sequence is repeated: only what is out of step
        ("mail", "550 Access denied, use our help desk", "bad-sequence"),
        # greeting-refused
        ("greeting", "421 Too many connections, connection refused", "greeting-refused"),
        ("greeting", "421 Server busy, try again later, connection not accepted", "greeting-refused"),
        ("greeting", "554 SMTP synchronization error", "greeting-refused"),
        ("greeting", "550 Rate limited, connection rejected", "greeting-refused"),
        # each language as well
        ("rcpt", "550 5.2.1 The recipient's account has been suspended for sending spam", "account-blocked"),
        ("rcpt", "550 5.2.1 The recipient's mailbox is blocked for sending mail", "account-blocked"),
        ("rcpt", "550 该用户已被停用", "account-blocked"),
        ("rcpt", "550 Das Postfach des Empfaengers ist gesperrt", "account-blocked|client-refused"),
        ("rcpt", "550 La boite du destinataire est suspendue", "account-blocked"),
        ("rcpt", "550 Der Relaisdienst des Empfaengers ist nicht bekannt", "relay-denied"),
        ("body_end", "550 Le message chiffre n'est pas accepte", "relay-denied|from-not-owned|size"),
        ("rcpt", "550 El buzon del remitente no existe", "from-not-owned"),
        ("mail", "550 Die Domain des Absenders existiert nicht", "from-not-owned"),
        ("rcpt", "552 수신자의 메일함 용량이 초과되었습니다", "rate-limit|sending-limit|size"),
        ("body_end", "552 첨부 파일 크기가 제한을 초과했습니다", "sending-limit|rcpt-full"),
        ("body_end", "550 您的邮件被收件人拒绝", "client-refused|account-blocked|auth-needed"),
        (
            "body_end",
            "554 Your server's certificate is on our list of known ones, the text is spam",
            "client-refused",
        ),
        ("rcpt", "550 The domain's reputation is too low", "client-refused|blocklist"),
        ("rcpt", "550 We do not relay your complaint; no such user", "auth-needed"),
        ("rcpt", "550 5.1.1 No one at this company has that address: user unknown", "rcpt-disabled"),
        # sizes are none of the numbers, and an address may be that of a machine
        ("body_end", "552 Größenlimit erreicht", "rate-limit|sending-limit"),
        ("body_end", "552 Limite de taille dépassée", "rate-limit|sending-limit"),
        ("body_end", "552 Límite de tamaño superado", "rate-limit|sending-limit"),
        ("body_end", "552 Превышен лимит размера письма", "rate-limit|sending-limit"),
        ("body_end", "552 附件超过限制", "rate-limit|sending-limit"),
        ("mail", "550 发信数量超过限制", "size"),
        (
            "rcpt",
            "550 Connection from address 192.0.2.7 rejected, the address is blacklisted",
            "sender-rejected",
        ),
        # a name that DNS does not know is on no list; a host that is not wanted is no matter of the recipient
        ("rcpt", "512 Host for the recipient's domain cannot be found in DNS", "blocklist"),
        ("rcpt", "550 5.4.310 DNS domain example.invalid does not exist", "rcpt-unknown"),
        ("rcpt", "550 We only accept mail from hosts with a PTR record", "rcpt-restricted"),
        ("rcpt", "554 You are members of the blacklist, we accept no mail", "rcpt-restricted"),
        # storage
        ("rcpt", "452 4.2.2 Mailbox full, disk quota of the user", "storage"),
    ],
)
def test_look_alikes_have_another_cause(step: str, reply: str, not_these: str) -> None:
    """A rule leaves alone what only shares words with it."""
    assert cause_of(step, reply) not in not_these.split("|")


@pytest.mark.parametrize(
    "reply",
    [
        "550 5.1.1 The recipient's account was blocked because the user is unknown",
        "550 5.2.1 mailbox of the client was closed, blocked by its owner",
        "554 5.7.1 sender blacklisted by the recipient",
        "551 Sender is on domain's blacklist",
        "550 5.7.1 Recipient doesn't want your mail",
        "550 The recipient rejected mail from your account's address book",
    ],
)
def test_what_concerns_one_recipient_stops_no_transport(reply: str) -> None:
    """A refusal of one recipient is final for that one."""
    read = Reply(int(reply[:3]), (reply[4:],), b"")
    verdict = classify(Evidence(step=Step.RCPT, reply=read, host="mx.example.net", port=587))
    assert verdict.outcome is OutcomeKind.REFUSED
