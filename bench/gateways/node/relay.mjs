// A relay as many run one on Node: /v1 is piped, sockets are relayed with `ws`. For comparison in scripts/bench.
import http from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const upstream = new URL(process.env.OPENAI_BASE_URL);
const token = `Bearer ${process.env.RELAY_TOKEN}`;
const authorization = `Bearer ${process.env.OPENAI_API_KEY}`;
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "upgrade", "te", "proxy-authorization"]);

function travelling(headers) {
    return Object.fromEntries(Object.entries(headers).filter(([name]) => !HOP_BY_HOP.has(name)));
}

function refuse(response, status, message) {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify({ error: { message, type: "invalid_request_error", param: null, code: null } }));
}

const server = http.createServer((request, response) => {
    if (request.url === "/health") {
        response.end("ok");
        return;
    }
    if (request.headers.authorization !== token) {
        refuse(response, 401, "Wrong token.");
        return;
    }
    const options = {
        host: upstream.hostname,
        port: upstream.port,
        method: request.method,
        path: request.url,
        headers: { ...travelling(request.headers), host: upstream.host, authorization },
        agent,
    };
    const up = http.request(options, (answer) => {
        response.writeHead(answer.statusCode, travelling(answer.headers));
        response.flushHeaders();
        answer.pipe(response);
    });
    up.on("error", (error) => (response.headersSent ? response.destroy() : refuse(response, 502, error.message)));
    response.on("close", () => up.destroy());
    request.pipe(up);
});

const sockets = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => {
    if (request.headers.authorization !== token) {
        socket.destroy();
        return;
    }
    const up = new WebSocket(`ws://${upstream.host}${request.url}`, { headers: { authorization } });
    up.on("error", () => socket.destroy());
    up.on("open", () => {
        sockets.handleUpgrade(request, socket, head, (client) => {
            client.on("message", (data, isBinary) => up.send(data, { binary: isBinary }));
            up.on("message", (data, isBinary) => client.send(data, { binary: isBinary }));
            client.on("close", () => up.close());
            up.on("close", () => client.close());
        });
    });
});

server.listen(Number(process.env.PORT), "127.0.0.1");
