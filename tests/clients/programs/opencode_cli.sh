# dependencies: opencode-ai@1.18
# opencode, which streams and offers tools; each run is a session of the same user.
set -euo pipefail

cat >opencode.json <<JSON
{
  "provider": {
    "memory": {
      "npm": "@ai-sdk/openai-compatible",
      "options": { "baseURL": "$CLIENT_ADDRESS/u/$CLIENT_USER/v1", "apiKey": "none" },
      "models": { "m": { "name": "m" } }
    }
  }
}
JSON

ask() {
    ./node_modules/.bin/opencode run --model memory/m "$1" </dev/null
}

ask "My locker at the gym is number 8314." >&2
ask "Which locker is mine?" >answer.txt
node -e 'console.log(JSON.stringify({ remembers: require("fs").readFileSync("answer.txt", "utf8") }))'
