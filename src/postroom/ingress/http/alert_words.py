"""The words of the page behind the links of alert mails, in five languages.

What a button says stands in ``policy.alerting.words``, as in the mail.
"""
# ruff: noqa: RUF001 - French and Chinese have apostrophes and punctuation of their own

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PageWords:
    """One language."""

    lead: str
    """Above the button."""
    asks: str
    alerts: str
    ends: str
    """Names of rows: who asks, which alerts, until when the link is good."""
    done: str
    """Title of the page after it."""
    acknowledged: str
    silenced: str
    """With ``{until}``."""
    repeated: str
    """With ``{deed}``."""
    close: str
    expired: str
    """With ``{at}``."""
    forged: str
    over: str
    busy: str


PAGE_WORDS: Mapping[str, PageWords] = {
    "en": PageWords(
        lead="Nothing has been changed yet. Press the button to do it.",
        asks="Asked by",
        alerts="Alerts",
        ends="Link good until",
        done="Done",
        acknowledged="Nobody is told again before it is over or gets worse.",
        silenced="Nobody is told until {until}.",
        repeated="{deed}: so it is from now on.",
        close="You can close this page.",
        expired="This link ended at {at}. Use the one in the latest mail.",
        forged="This is not a link of this server. Take the whole link out of the mail.",
        over="Nothing of it is active any more, so there is nothing to do.",
        busy="This cannot be done now. Try again in a minute.",
    ),
    "zh": PageWords(
        lead="目前尚未更改任何内容。按下按钮即可执行。",
        asks="操作人",
        alerts="告警",
        ends="链接有效期至",
        done="已完成",
        acknowledged="在告警结束或变得更严重之前，不再发送通知。",
        silenced="在 {until} 之前不再发送通知。",
        repeated="{deed}：从现在起生效。",
        close="可以关闭此页面。",
        expired="此链接已于 {at} 失效。请使用最新邮件中的链接。",
        forged="这不是本服务器的链接。请从邮件中复制完整的链接。",
        over="相关告警均已结束，无需任何操作。",
        busy="现在无法执行此操作。请一分钟后再试。",
    ),
    "ko": PageWords(
        lead="아직 아무것도 변경되지 않았습니다. 버튼을 누르면 실행됩니다.",
        asks="요청자",
        alerts="알림",
        ends="링크 유효 기한",
        done="완료",
        acknowledged="해결되거나 더 심각해질 때까지 다시 알리지 않습니다.",
        silenced="{until}까지 알리지 않습니다.",
        repeated="{deed}: 지금부터 적용됩니다.",
        close="이 페이지를 닫아도 됩니다.",
        expired="이 링크는 {at}에 만료되었습니다. 최신 메일의 링크를 사용하세요.",
        forged="이 서버의 링크가 아닙니다. 메일에서 링크 전체를 복사하세요.",
        over="활성 상태인 알림이 더 이상 없으므로 할 일이 없습니다.",
        busy="지금은 실행할 수 없습니다. 1분 후에 다시 시도하세요.",
    ),
    "de": PageWords(
        lead="Noch ist nichts geändert. Drücken Sie den Knopf, um es zu tun.",
        asks="Auftrag von",
        alerts="Alarme",
        ends="Link gültig bis",
        done="Erledigt",
        acknowledged="Niemand wird wieder benachrichtigt, bis es vorbei ist oder schlimmer wird.",
        silenced="Bis {until} wird niemand benachrichtigt.",
        repeated="{deed}: das gilt ab jetzt.",
        close="Sie können diese Seite schließen.",
        expired="Dieser Link endete am {at}. Nehmen Sie den aus der neuesten Mail.",
        forged="Das ist kein Link dieses Servers. Nehmen Sie den ganzen Link aus der Mail.",
        over="Nichts davon ist noch aktiv, es gibt also nichts zu tun.",
        busy="Das geht gerade nicht. Versuchen Sie es in einer Minute noch einmal.",
    ),
    "fr": PageWords(
        lead="Rien n’a encore été changé. Appuyez sur le bouton pour le faire.",
        asks="À la demande de",
        alerts="Alertes",
        ends="Lien valable jusqu’au",
        done="C’est fait",
        acknowledged="Personne n’est prévenu à nouveau avant la fin ou une aggravation.",
        silenced="Personne n’est prévenu jusqu’au {until}.",
        repeated="{deed} : c’est valable dès maintenant.",
        close="Vous pouvez fermer cette page.",
        expired="Ce lien a pris fin le {at}. Prenez celui du dernier message.",
        forged="Ce n’est pas un lien de ce serveur. Prenez le lien entier du message.",
        over="Plus rien n’en est actif ; il n’y a donc rien à faire.",
        busy="Ce n’est pas possible maintenant. Réessayez dans une minute.",
    ),
}
"""By the languages of ``providers.words.LANGUAGES``."""
