# Made by cyberlab from a form: the same form always gives the same text.
# Left out until their problems are solved: parts of apt, command, custom, env, npm, pip, ports, workdir.

# Start from a base image of the lab
FROM cyberlab/python

# Debian packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      usbutils \
 && apt-get clean && rm -rf /var/lib/apt/lists/*

# Python libraries
RUN pip install \
      numpy

# The folder of your program
WORKDIR /usr/src/app

# Settings that your program reads from its environment
ENV GOOD="1"

# Your files; they come late, so that a change in them rebuilds little else
COPY --chown=1000:1000 files/ ./

# Ports that your program listens on
EXPOSE 8080

# Run as the ordinary user "app", never as root
USER 1000:1000
