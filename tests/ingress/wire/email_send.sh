curl  -H "Accept: application/json" -H "Content-type: application/json" -X POST -d \
'{"to":"<tony@example.com>","cc":"<kenneth@example.com>","subject":"타이틀 입니>다.", "body":"메일 BODY 입니다. n"}' \
 http://127.0.0.1:8443/email/send
