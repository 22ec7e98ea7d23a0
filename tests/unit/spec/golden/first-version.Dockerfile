# Made by cyberlab from a form: the same form always gives the same text.

# Start from a base image of the lab
FROM cyberlab/python

# Debian packages
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      i2c-tools \
 && apt-get clean && rm -rf /var/lib/apt/lists/*

# Python libraries
RUN pip install \
      numpy==2.1.0

# The folder of your program
WORKDIR /usr/src/app

# Your own instructions
RUN echo hello

# Settings that your program reads from its environment
ENV INTERVAL="1"

# Your files; they come late, so that a change in them rebuilds little else
COPY --chown=1000:1000 files/ ./

# Ports that your program listens on
EXPOSE 8080

# Run as the ordinary user "app", never as root
USER 1000:1000

# What runs when a container starts
CMD ["python3", "main.py"]
