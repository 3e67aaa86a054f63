// PM2 runs the binary; put this file beside your .env.
//
//   pm2 start ecosystem.config.js
//   pm2 startup && pm2 save
//
// OPENAI_RELAY_BIN says where the binary is, if not at /usr/local/bin/openai-relay.
module.exports = {
  apps: [
    {
      name: "openai-relay",
      script: process.env.OPENAI_RELAY_BIN || "/usr/local/bin/openai-relay",
      args: "serve",
      // A program of its own, not a script; one process serves all cores.
      interpreter: "none",
      exec_mode: "fork",
      instances: 1,
      cwd: __dirname,
      autorestart: true,
      restart_delay: 2000,
      // PM2 asks with SIGINT; DRAIN_TIMEOUT is 30 s.
      kill_timeout: 40000,
      max_memory_restart: "512M",
      out_file: "logs/out.log",
      error_file: "logs/error.log",
      merge_logs: true,
    },
  ],
};
