curl  -v -H "Expect:" -H "Content-type: multipart/form-data" -X POST  \
 -F 'smtp_url="smtp://127.0.0.1:465"' \
 -F 'user="test@example.com"' \
 -F 'password="tenant-pass-0815"' \
 -F "ssl=true" \
 -F 'to="<test@example.com>"' \
 -F 'cc="<test@example.net>"' \
 -F "subject=타이틀 입니다." \
 -F "body=메일 BODY 입니다." \
 -F "files=@800_400.png" \
 -F "files=@template_create.json" \
 http://127.0.0.1:8449/email/multipart/tenant/send
