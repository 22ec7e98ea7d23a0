# Made by cyberlab from a form: the same form always gives the same text.

# Start from a base image of the lab
FROM cyberlab/node

# JavaScript libraries
RUN npm install --prefix /opt/node --no-save \
      '@serialport/parser-readline@^12.0' \
      mqtt@5.0.0 \
      ws \
 && rm -rf /root/.npm

# The folder of your program
WORKDIR /usr/src/app

# Your files; they come late, so that a change in them rebuilds little else
COPY --chown=1000:1000 files/ ./

# Run as the ordinary user "app", never as root
USER 1000:1000

# What runs when a container starts
CMD ["node", "main.js"]
