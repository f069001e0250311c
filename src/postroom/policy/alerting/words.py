"""The words of alert mails in five languages: severities, sentences with numbers and times, names of rows.

A language without words of its own has English ones, by its main tag: ``fr-CA`` is French. Clock times are
``10:05``, with the day in front when it is not that of the letter; durations are told in their largest unit,
rounded down, because nobody counts seconds at night.

Pure.
"""
# ruff: noqa: RUF001 - French and Chinese have apostrophes and punctuation of their own

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from postroom.model.alert import Severity
from postroom.policy.alerting.links import AlertDeed

_SPANS = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """One language. Braces are filled by ``str.format``; of two forms the first is for one."""

    severities: tuple[str, str, str, str, str]
    """From emergency down to info."""
    resolved: str
    still: str
    again: str
    """Around a severity's word, which stays in front."""
    since: str
    duration: str
    """For how long, in brackets behind a time."""
    days: tuple[str, str]
    hours: tuple[str, str]
    minutes: tuple[str, str]
    often: str
    """How often something was reported, since when."""
    alerts: tuple[str, str]
    active: tuple[str, str]
    """How many are still active."""
    more: tuple[str, str]
    suppressed: tuple[str, str]
    """Reports that were not mailed, since a time."""
    missing: str
    """What an alert is called that says that an expected event did not come."""
    unsteady: str
    calming: str
    """Of an alert that flaps: in a few words, and what follows from it."""
    digest: str
    storm: str
    """Titles of letters of many alerts."""
    news: str
    ongoing: str
    over: str
    happened: str
    """Titles of lists: other news, still active, resolved, what is over as soon as it is told."""
    rows: tuple[str, str, str, str, str, str, str]
    """Object, part, source, category, number of reports, last report."""
    chart: str
    details: str
    deeds: tuple[str, str, str, str, str, str]
    """In the order of ``AlertDeed``."""
    why: str
    """For whom the letter is and in which zone its times are."""
    colon: str = ": "
    comma: str = ", "
    aside: str = "{} ({})"
    """Something, and a remark on it."""

    def severity(self, severity: Severity) -> str:
        """Return the word of a severity."""
        return self.severities[4 - severity.rank]

    def deed(self, deed: AlertDeed) -> str:
        """Return what the button of a link says."""
        return self.deeds[list(AlertDeed).index(deed)]

    def span(self, span: timedelta) -> str:
        """Return a duration in its largest unit; less than a minute is none."""
        for unit, forms in zip(_SPANS, (self.days, self.hours, self.minutes), strict=True):
            if span >= unit:
                return counted(forms, span // unit)
        return ""


def counted(forms: tuple[str, str], number: int) -> str:
    """Return the form for a number, with the number in it."""
    return forms[number != 1].format(number)


def words_of(language: str) -> Words:
    """Return the words of a language tag."""
    return _LANGUAGES.get(language.replace("_", "-").partition("-")[0].lower(), _LANGUAGES["en"])


@lru_cache(maxsize=256)
def zone_of(name: str) -> tzinfo:
    """Return a time zone by name; one that is not known (any more) is UTC."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def clock_time(at: datetime, zone: tzinfo, *, today: datetime) -> str:
    """Return a time of day, with the date when it is not that of ``today``."""
    local, day = at.astimezone(zone), today.astimezone(zone).date()
    return f"{local:%H:%M}" if local.date() == day else f"{local:%Y-%m-%d %H:%M}"


_LANGUAGES: Mapping[str, Words] = {
    "en": Words(
        severities=("Emergency", "Critical", "Error", "Warning", "Information"),
        resolved="Resolved",
        still="{} (still)",
        again="{} (again)",
        since="since {}",
        duration="for {}",
        days=("{} day", "{} days"),
        hours=("{} hour", "{} hours"),
        minutes=("{} minute", "{} minutes"),
        often="{} times since {}",
        alerts=("{} alert", "{} alerts"),
        active=("{} still active", "{} still active"),
        more=("and {} more", "and {} more"),
        suppressed=("{} more since {}", "{} more since {}"),
        missing="{} is overdue",
        unsteady="keeps changing",
        calming="Keeps changing: its changes are not mailed until it is calm",
        digest="Summary of alerts",
        storm="Many alerts at once",
        news="More news",
        ongoing="Still active",
        over="Resolved",
        happened="Happened",
        rows=("Object", "Part", "Source", "Category", "Reports", "Last report", "Began"),
        chart="Last {} values: lowest {}, highest {}, last {}",
        details="View details",
        deeds=(
            "I am working on it",
            "Silence for 1 hour",
            "Silence for 1 day",
            "Repeat every 4 hours",
            "Repeat every day",
            "Repeat every week",
        ),
        why="Sent to {} with the alert rules of {}. Times: {}.",
    ),
    "de": Words(
        severities=("Notfall", "Kritisch", "Fehler", "Warnung", "Hinweis"),
        resolved="Behoben",
        still="{} (weiterhin)",
        again="{} (erneut)",
        since="seit {}",
        duration="{}",
        days=("{} Tag", "{} Tage"),
        hours=("{} Stunde", "{} Stunden"),
        minutes=("{} Minute", "{} Minuten"),
        often="{}-mal seit {}",
        alerts=("{} Alarm", "{} Alarme"),
        active=("{} noch aktiv", "{} noch aktiv"),
        more=("und {} weiterer", "und {} weitere"),
        suppressed=("{} weitere Meldung seit {}", "{} weitere Meldungen seit {}"),
        missing="{} ist überfällig",
        unsteady="wechselt ständig",
        calming="Wechselt ständig: die Wechsel werden erst wieder gemeldet, wenn Ruhe ist",
        digest="Alarme im Überblick",
        storm="Viele Alarme auf einmal",
        news="Weitere Neuigkeiten",
        ongoing="Noch aktiv",
        over="Behoben",
        happened="Ereignisse",
        rows=("Objekt", "Teil", "Quelle", "Kategorie", "Meldungen", "Letzte Meldung", "Begann"),
        chart="Letzte {} Werte: kleinster {}, größter {}, letzter {}",
        details="Details ansehen",
        deeds=(
            "Ich kümmere mich darum",
            "1 Stunde stumm",
            "1 Tag stumm",
            "Alle 4 Stunden erinnern",
            "Täglich erinnern",
            "Wöchentlich erinnern",
        ),
        why="Gesendet an {} nach den Alarmregeln von {}. Zeiten: {}.",
    ),
    "fr": Words(
        severities=("Urgence", "Critique", "Erreur", "Avertissement", "Information"),
        resolved="Résolu",
        still="{} (toujours)",
        again="{} (de nouveau)",
        since="depuis {}",
        duration="{}",
        days=("{} jour", "{} jours"),
        hours=("{} heure", "{} heures"),
        minutes=("{} minute", "{} minutes"),
        often="{} fois depuis {}",
        alerts=("{} alerte", "{} alertes"),
        active=("{} encore active", "{} encore actives"),
        more=("et {} autre", "et {} autres"),
        suppressed=("{} autre signalement depuis {}", "{} autres signalements depuis {}"),
        missing="{} n’est pas arrivé",
        unsteady="change sans cesse",
        calming="Change sans cesse : ses changements ne sont plus signalés avant le retour au calme",
        digest="Résumé des alertes",
        storm="Beaucoup d’alertes à la fois",
        news="Autres nouvelles",
        ongoing="Encore actives",
        over="Résolues",
        happened="Événements",
        rows=(
            "Objet",
            "Partie",
            "Source",
            "Catégorie",
            "Signalements",
            "Dernier signalement",
            "Début",
        ),
        chart="{} dernières valeurs : minimum {}, maximum {}, dernière {}",
        details="Voir les détails",
        deeds=(
            "Je m’en occupe",
            "Silence pendant 1 heure",
            "Silence pendant 1 jour",
            "Rappel toutes les 4 heures",
            "Rappel chaque jour",
            "Rappel chaque semaine",
        ),
        why="Envoyé à {} selon les règles d’alerte de {}. Heures : {}.",
        colon=" : ",
    ),
    "zh": Words(
        severities=("紧急", "严重", "错误", "警告", "提示"),
        resolved="已恢复",
        still="{}（持续）",
        again="{}（再次）",
        since="{} 起",
        duration="已持续 {}",
        days=("{} 天", "{} 天"),
        hours=("{} 小时", "{} 小时"),
        minutes=("{} 分钟", "{} 分钟"),
        often="{1} 起 {0} 次",
        alerts=("{} 条告警", "{} 条告警"),
        active=("{} 条仍未恢复", "{} 条仍未恢复"),
        more=("另有 {} 条", "另有 {} 条"),
        suppressed=("自 {1} 起另有 {0} 次", "自 {1} 起另有 {0} 次"),
        missing="{} 未按时上报",
        unsteady="反复变化",
        calming="状态反复变化，稳定之前不再逐次通知",
        digest="告警汇总",
        storm="短时间内告警较多",
        news="其他新告警",
        ongoing="仍未恢复",
        over="已恢复",
        happened="已发生",
        rows=("对象", "部分", "来源", "类别", "次数", "最近一次", "发生时间"),
        chart="最近 {} 个值：最低 {}，最高 {}，最新 {}",
        details="查看详情",
        deeds=(
            "我来处理",
            "静默 1 小时",
            "静默 1 天",
            "每 4 小时提醒",
            "每天提醒",
            "每周提醒",
        ),
        why="按 {1} 的告警规则发送给 {0}。时间：{2}。",
        colon="：",
        comma="，",
        aside="{}（{}）",
    ),
    "ko": Words(
        severities=("긴급", "심각", "오류", "경고", "안내"),
        resolved="해결됨",
        still="{}(지속)",
        again="{}(재발)",
        since="{}부터",
        duration="{}째",
        days=("{}일", "{}일"),
        hours=("{}시간", "{}시간"),
        minutes=("{}분", "{}분"),
        often="{1}부터 {0}회",
        alerts=("알림 {}건", "알림 {}건"),
        active=("{}건 계속 발생 중", "{}건 계속 발생 중"),
        more=("외 {}건", "외 {}건"),
        suppressed=("{1}부터 {0}회 더 보고됨", "{1}부터 {0}회 더 보고됨"),
        missing="{} 보고 없음",
        unsteady="계속 바뀜",
        calming="상태가 계속 바뀝니다. 안정될 때까지 변화를 하나하나 알리지 않습니다",
        digest="알림 요약",
        storm="짧은 시간에 알림이 많습니다",
        news="그 밖의 새 알림",
        ongoing="계속 발생 중",
        over="해결됨",
        happened="발생함",
        rows=("대상", "부분", "출처", "분류", "보고 횟수", "마지막 보고", "발생 시각"),
        chart="최근 값 {}개: 최저 {}, 최고 {}, 마지막 {}",
        details="자세히 보기",
        deeds=(
            "제가 처리합니다",
            "1시간 동안 알리지 않기",
            "1일 동안 알리지 않기",
            "4시간마다 다시 알리기",
            "매일 다시 알리기",
            "매주 다시 알리기",
        ),
        why="{1}의 알림 규칙에 따라 {0}에게 보냈습니다. 시간대: {2}.",
    ),
}
LANGUAGES = tuple(_LANGUAGES)
