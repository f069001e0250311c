"""What other programs send as alerts, as their documentation publishes it; the source stands above each."""

from typing import Any

# Prometheus, "Alertmanager configuration", <webhook_config> (version 4; names and types of the members):
# https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
# The values are those of https://docs.rs/crate/alertmanager-webhook-types/0.1.0/source/assets/sample-v4-payload.json
ALERTMANAGER: dict[str, Any] = {
    "receiver": "sms",
    "status": "firing",
    "alerts": [
        {
            "status": "firing",
            "labels": {
                "alertname": "ProbeFailure",
                "instance": "https://server.example.org",
                "job": "http_checks",
                "monitor": "master",
                "severity": "critical",
            },
            "annotations": {
                "description": "Instance https://server.example.org has been down for over 5m.",
                "summary": "BlackBox Probe Failure: https://server.example.org",
            },
            "startsAt": "2023-02-06T13:08:45.828Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "http://prometheus.example.org:9090/graph?g0.expr=probe_success+%3D%3D+0&g0.tab=1",
            "fingerprint": "1a30ba71cca2921f",
        }
    ],
    "groupLabels": {"alertname": "ProbeFailure"},
    "commonLabels": {
        "alertname": "ProbeFailure",
        "instance": "https://server.example.org",
        "job": "http_checks",
        "monitor": "master",
        "severity": "critical",
    },
    "commonAnnotations": {
        "description": "Instance https://server.example.org has been down for over 5m.",
        "summary": "BlackBox Probe Failure: https://server.example.org",
    },
    "externalURL": "http://prometheus.example.org:9093",
    "version": "4",
    "groupKey": '{}/{severity="critical"}:{alertname="ProbeFailure"}',
    "truncatedAlerts": 0,
}

# Alertmanager, "Alertmanager API" (version 2), postableAlerts; Go's times have nanoseconds:
# https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
PROMETHEUS: list[dict[str, Any]] = [
    {
        "labels": {"alertname": "InstanceDown", "instance": "localhost:9090", "severity": "page"},
        "annotations": {"summary": "Instance localhost:9090 down", "runbook_url": "https://example.com/r/1"},
        "startsAt": "2018-08-03T09:52:26.739266876+02:00",
        "endsAt": "2018-08-03T09:56:26.739266876+02:00",
        "generatorURL": "http://example.com:9090/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
    }
]

# Grafana, "Configure the webhook notifier for Alerting", JSON payload; hosts and ``message`` are shorter:
# https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
GRAFANA: dict[str, Any] = {
    "receiver": "My Super Webhook",
    "status": "firing",
    "orgId": 1,
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "High memory usage", "team": "blue", "zone": "us-1"},
            "annotations": {
                "description": "The system has high memory usage",
                "runbook_url": "https://myrunbook.example.com/runbook/1234",
                "summary": "This alert was triggered for zone us-1",
            },
            "startsAt": "2021-10-12T09:51:03.157076+02:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://play.example.org/alerting/1afz29v7z/edit",
            "fingerprint": "c6eadffa33fcdf37",
            "silenceURL": "https://play.example.org/alerting/silence/new?alertmanager=grafana&matchers="
            "alertname%3DT2%2Cteam%3Dblue%2Czone%3Dus-1",
            "dashboardURL": "",
            "panelURL": "",
            "values": {"B": 44.23943737541908, "C": 1},
        },
        {
            "status": "firing",
            "labels": {"alertname": "High CPU usage", "team": "blue", "zone": "eu-1"},
            "annotations": {
                "description": "The system has high CPU usage",
                "runbook_url": "https://myrunbook.example.com/runbook/1234",
                "summary": "This alert was triggered for zone eu-1",
            },
            "startsAt": "2021-10-12T09:56:03.157076+02:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://play.example.org/alerting/d1rdpdv7k/edit",
            "fingerprint": "bc97ff14869b13e3",
            "silenceURL": "https://play.example.org/alerting/silence/new?alertmanager=grafana&matchers="
            "alertname%3DT1%2Cteam%3Dblue%2Czone%3Deu-1",
            "dashboardURL": "",
            "panelURL": "",
            "values": {"B": 44.23943737541908, "C": 1},
        },
    ],
    "groupLabels": {},
    "commonLabels": {"team": "blue"},
    "commonAnnotations": {},
    "externalURL": "https://play.example.org/",
    "version": "1",
    "groupKey": "{}:{}",
    "truncatedAlerts": 0,
    "title": "[FIRING:2]  (blue)",
    "state": "alerting",
    "message": "**Firing**\n\nLabels:\n - alertname = T2\n - team = blue\n - zone = us-1\n",
}

# Grafana (version 6), "Alert notifications", Webhook:
# https://github.com/grafana/grafana/blob/v6.7.x/docs/sources/alerting/notifications.md
GRAFANA_LEGACY: dict[str, Any] = {
    "dashboardId": 1,
    "evalMatches": [{"value": 1, "metric": "Count", "tags": {}}],
    "imageUrl": "https://grafana.example.com/assets/img/blog/mixed_styles.png",
    "message": "Notification Message",
    "orgId": 1,
    "panelId": 2,
    "ruleId": 1,
    "ruleName": "Panel Title alert",
    "ruleUrl": "http://localhost:3000/d/hZ7BuVbWz/test-dashboard?fullscreen&edit&tab=alert&panelId=2&orgId=1",
    "state": "alerting",
    "tags": {"tag name": "tag value"},
    "title": "[Alerting] Panel Title alert",
}

# PagerDuty, "Send an Alert Event", Example Request Payloads (the address of the image is ours):
# https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
# https://github.com/PagerDuty/developer-docs/blob/main/docs/events-API-v2/02-Trigger-Events.md
PAGERDUTY: dict[str, Any] = {
    "payload": {
        "summary": "Example alert on host1.example.com",
        "timestamp": "2015-07-17T08:42:58.315+0000",
        "source": "monitoringtool:cloudvendor:central-region-dc-01:852559987:cluster/api-stats-prod-003",
        "severity": "info",
        "component": "postgres",
        "group": "prod-datapipe",
        "class": "deploy",
        "custom_details": {"ping time": "1500ms", "load avg": 0.75},
    },
    "routing_key": "samplekeyhere",
    "dedup_key": "samplekeyhere",
    "images": [
        {"src": "https://www.example.com/logo.png", "href": "https://example.com/", "alt": "Example text"}
    ],
    "links": [{"href": "https://example.com/", "text": "Link text"}],
    "event_action": "trigger",
    "client": "Sample Monitoring Service",
    "client_url": "https://monitoring.example.com",
}
PAGERDUTY_ACKNOWLEDGE: dict[str, Any] = {
    "routing_key": "routingkeyhere",
    "dedup_key": "dedupkeyhere",
    "event_action": "acknowledge",
}
PAGERDUTY_RESOLVE: dict[str, Any] = {
    "routing_key": "routingkeyhere",
    "dedup_key": "dedupkeyhere",
    "event_action": "resolve",
}

# TapData, the page of webhook alarms, its default customTemplate; the values are of the types and words of
# WebHookAlterInfoDto.java in github.com/tapdata/tapdata:
# https://github.com/tapdata/tapdata-web, WebhookAlerts.vue
TAPDATA: dict[str, Any] = {
    "action": "TaskAlter",
    "hookId": "66b1c2d3e4f5061728394a5b",
    "actionTime": "1722650400000",
    "title": "Task error",
    "content": "The task orders stopped with an error",
    "actionData": {
        "status": "ING",
        "statusTxt": "正在进行",
        "level": "CRITICAL",
        "component": "FE",
        "componentTxt": "引擎",
        "type": "SYNCHRONIZATIONTASK_ALARM",
        "typeTxt": "同步任务告警",
        "metric": "TASK_STATUS_ERROR",
        "metricTxt": "任务运行错误",
        "name": "orders",
        "node": "warehouse",
        "currentValue": "${actionData.currentValue}",
        "threshold": "null",
        "lastOccurrenceTime": "1722650399000",
        "tally": "3",
        "summary": "Connection refused",
        "recoveryTime": "-",
        "closeTime": "",
        "closeBy": "",
        "agentId": "agent-1",
    },
}

# CloudEvents, "JSON Event Format for CloudEvents" (version 1.0.2), sections 3.2 and 4.3:
# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
CLOUDEVENT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "subject": None,
    "id": "C234-1234-1234",
    "time": "2018-04-05T17:31:00Z",
    "comexampleextension1": "value",
    "comexampleothervalue": 5,
    "datacontenttype": "application/json",
    "data": {"appinfoA": "abc", "appinfoB": 123, "appinfoC": True},
}
CLOUDEVENT_XML: dict[str, Any] = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "id": "B234-1234-1234",
    "unsetextension": None,
    "datacontenttype": "application/xml",
    "data": '<much wow="xml"/>',
}
CLOUDEVENT_TEXT: dict[str, Any] = {
    "specversion": "1.0",
    "type": "com.example.someevent",
    "source": "/mycontext",
    "id": "D234-1234-1234",
    "data": "I'm just a string",
}
# CloudEvents, "HTTP Protocol Binding for CloudEvents" (version 1.0.2), section 3.1.4:
# https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
CLOUDEVENT_HEADERS: dict[str, str] = {
    "ce-specversion": "1.0",
    "ce-type": "com.example.someevent",
    "ce-time": "2018-04-05T03:56:24Z",
    "ce-id": "1234-1234-1234",
    "ce-source": "/mycontext/subcontext",
    "content-type": "application/json; charset=utf-8",
}
